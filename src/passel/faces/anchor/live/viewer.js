import { LiveSocket, painter } from "./socket.js"

const $ = id => document.getElementById(id)
const query = new URLSearchParams(location.search)
const session = location.pathname.match(/^\/live\/([^/]+)$/)?.[1] ?? query.get("sessionId")
const canvas = $("screen"), keys = $("keys"), address = $("address")
const BUTTONS = ["left", "middle", "right", "back", "forward"]
let act = false, front = null, typing = false

const wanted = Object.fromEntries([...query].filter(([name]) => ["token", "pageId", "apiKey", "rate"].includes(name)))
const live = new LiveSocket(session ? `/live/${session}/socket` : "/live/socket", wanted, {
  frame: painter(canvas),
  state(now, reason) {
    $("state").textContent = now === "live" ? (act ? "live" : "watching") : now === "over" ? "ended" : now === "off" ? "reconnecting" : "connecting"
    $("state").className = now === "live" ? "live" : now === "connecting" ? "" : "off"
    if (now === "over") {
      $("over").hidden = false
      $("over").firstElementChild.textContent = reason
      allow(false)
    }
  },
  on: {
    hello(told) {
      allow(told.act)
      $("state").textContent = act ? "live" : "watching"
      Object.assign(canvas, { width: told.width, height: told.height })
    },
    tabs: showTabs,
    dialog: showDialog,
    async clipboard({ text }) {
      if (!text) return
      try {
        await navigator.clipboard.writeText(text)
      } catch { // not allowed where the page is not served securely: the old way
        keys.value = text
        keys.select()
        document.execCommand("copy")
        keys.value = ""
      }
    },
    problem({ message }) {
      $("problem").textContent = message
      $("problem").hidden = false
      clearTimeout(showTabs.timer)
      showTabs.timer = setTimeout(() => { $("problem").hidden = true }, 5000)
    },
  },
})

function allow(may) {
  act = may
  canvas.classList.toggle("act", may)
  for (const one of [address, $("back"), $("forward"), $("reload"), keys]) one.disabled = !may
}

function button(text, label, done) {
  const one = document.createElement("button")
  Object.assign(one, { type: "button", textContent: text, title: label, disabled: !act })
  one.addEventListener("click", done)
  return one
}

function showTabs({ tabs, front: now }) {
  front = wanted.pageId ?? now
  $("tabs").replaceChildren(...tabs.map(tab => {
    const shown = document.createElement("div")
    shown.className = "tab"
    shown.setAttribute("role", "tab")
    shown.setAttribute("aria-selected", tab.id === front)
    const name = button(tab.title || tab.url || "New tab", tab.url, () => live.send("tab", { id: tab.id }))
    const close = button("×", `Close ${tab.title || tab.url}`, () => live.send("close", { id: tab.id }))
    close.className = "close"
    shown.append(name, ...(act ? [close] : []))
    return shown
  }))
  if (act) {
    const open = button("+", "New tab", () => live.send("open"))
    open.id = "open"
    $("tabs").append(open)
  }
  const shown = tabs.find(tab => tab.id === front)
  if (shown && document.activeElement !== address) address.value = shown.url === "about:blank" ? "" : shown.url
  document.title = shown?.title || "Live view"
}

function showDialog({ kind, message, default: given }) {
  $("dialog").hidden = !kind
  if (!kind) return keys.focus()
  $("said").textContent = message || (kind === "beforeunload" ? "Leave this page? What was changed may be lost." : "")
  $("answer").hidden = kind !== "prompt"
  $("answer").value = given ?? ""
  $("dismiss").hidden = kind === "alert"
  for (const one of $("dialog").querySelectorAll("button, input")) one.disabled = !act
  ;(kind === "prompt" ? $("answer") : $("accept")).focus()
}

$("dialog").firstElementChild.addEventListener("submit", event => {
  event.preventDefault()
  live.send("dialog", { accept: true, text: $("answer").hidden ? null : $("answer").value })
})
$("dismiss").addEventListener("click", () => live.send("dialog", { accept: false }))

for (const name of ["back", "forward", "reload"]) $(name).addEventListener("click", () => live.send(name))
$("bar").addEventListener("submit", event => {
  event.preventDefault()
  const typed = address.value.trim()
  if (!typed) return
  live.send("navigate", { url: /^[a-z][a-z0-9+.-]*:/i.test(typed) && !/^[^/:]+:\d+(\/|$)/.test(typed) ? typed : `http${/^(localhost|[\d.]+|\[.*\])(:|\/|$)/.test(typed) ? "" : "s"}://${typed}` })
  keys.focus()
})

function modifiers(event) {
  return (event.altKey ? 1 : 0) | (event.ctrlKey || event.metaKey ? 2 : 0) | (event.shiftKey ? 8 : 0)
}

function place(event) {
  const box = canvas.getBoundingClientRect()
  return { x: (event.clientX - box.left) * canvas.width / box.width, y: (event.clientY - box.top) * canvas.height / box.height }
}

function held(event) {
  return event.buttons & 1 ? "left" : event.buttons & 2 ? "right" : event.buttons & 4 ? "middle" : "none"
}

let moved = null
function tellMove() {
  if (moved) live.send("mouse", moved)
  moved = null
}
canvas.addEventListener("pointermove", event => {
  if (!act) return
  const first = moved === null
  moved = { action: "move", ...place(event), button: held(event), modifiers: modifiers(event) }
  if (first) requestAnimationFrame(tellMove)
})
for (const [name, action] of [["pointerdown", "down"], ["pointerup", "up"]]) {
  canvas.addEventListener(name, event => {
    if (!act) return
    event.preventDefault()
    if (action === "down") {
      canvas.setPointerCapture(event.pointerId)
      keys.focus({ preventScroll: true })
    }
    tellMove()
    live.send("mouse", { action, ...place(event), button: BUTTONS[event.button] ?? "left", clicks: clicks(event, action), modifiers: modifiers(event) })
  })
}

const last = { at: 0, count: 0, x: 0, y: 0 }
function clicks(event, action) {
  if (action === "up") return last.count
  const near = Math.hypot(event.clientX - last.x, event.clientY - last.y) < 5
  last.count = near && event.timeStamp - last.at < 500 ? last.count + 1 : 1
  Object.assign(last, { at: event.timeStamp, x: event.clientX, y: event.clientY })
  return last.count
}

canvas.addEventListener("contextmenu", event => event.preventDefault())
canvas.addEventListener("wheel", event => {
  if (!act) return
  event.preventDefault()
  const unit = event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? canvas.height : 1
  live.send("wheel", { ...place(event), dx: event.deltaX * unit, dy: event.deltaY * unit, modifiers: modifiers(event) })
}, { passive: false })

const EDITS = { a: "selectAll", z: "undo", y: "redo" }
keys.addEventListener("keydown", event => {
  if (event.isComposing || event.key === "Process") return
  const command = event.ctrlKey || event.metaKey
  const letter = event.key.toLowerCase()
  if (command && letter === "v") return // comes as a paste
  event.preventDefault()
  if (command && !event.altKey && (letter === "c" || letter === "x")) return live.send(letter === "c" ? "copy" : "cut")
  if (command && !event.altKey && EDITS[letter]) return live.send("edit", { command: letter === "z" && event.shiftKey ? "redo" : EDITS[letter] })
  const text = event.key === "Enter" ? "\r" : event.key.length === 1 && !command ? event.key : ""
  live.send("key", { action: "down", key: event.key, code: event.code, keyCode: event.keyCode, text, modifiers: modifiers(event) })
})
keys.addEventListener("keyup", event => {
  if (event.isComposing) return
  event.preventDefault()
  live.send("key", { action: "up", key: event.key, code: event.code, keyCode: event.keyCode, modifiers: modifiers(event) })
})
keys.addEventListener("compositionend", event => {
  live.send("text", { text: event.data })
  keys.value = ""
})
keys.addEventListener("input", event => {
  if (event.isComposing) return
  if (keys.value) live.send("text", { text: keys.value }) // keyboards on glass tell no keys
  keys.value = ""
})
keys.addEventListener("paste", event => {
  event.preventDefault()
  live.send("text", { text: event.clipboardData.getData("text/plain") })
})
