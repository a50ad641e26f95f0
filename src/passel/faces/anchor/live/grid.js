import { LiveSocket, painter } from "./socket.js"

const $ = id => document.getElementById(id)
const batch = location.pathname.split("/").at(-1)
const token = new URLSearchParams(location.search).get("token") ?? ""
const AT_ONCE = 24, RATE = 2, POLL = 1500
const tiles = new Map(), seen = new Set()

class Tile {
  constructor(item) {
    this.item = item
    this.box = document.createElement("a")
    this.canvas = document.createElement("canvas")
    Object.assign(this.canvas, { width: 480, height: 300 })
    const line = document.createElement("div")
    this.name = document.createElement("b")
    this.said = document.createElement("span")
    this.state = document.createElement("em")
    line.append(this.name, this.said, this.state)
    this.box.append(this.canvas, line)
    this.box.tile = this
    $("tiles").append(this.box)
    watcher.observe(this.box)
  }

  show(item) {
    this.item = item
    this.name.textContent = `#${item.item_index}`
    this.state.textContent = item.status
    this.box.className = `tile ${item.status === "live" ? "live" : item.status === "failed" ? "failed" : ""}`
    if (item.error) this.said.textContent = item.error
    if (item.url) Object.assign(this.box, { href: item.url, target: "_blank", rel: "noopener" })
    else this.box.removeAttribute("href")
    if (item.status !== "live") this.leave()
  }

  watch() {
    if (this.live || this.item.status !== "live") return
    this.live = new LiveSocket(`/live/${this.item.session_id}/socket`, { token: this.item.token, rate: RATE }, {
      frame: painter(this.canvas),
      state: (now, reason) => { if (now === "over") { this.said.textContent = reason; this.live = null } },
      on: { tabs: ({ tabs, front }) => { const tab = tabs.find(one => one.id === front); this.said.textContent = tab?.title || tab?.url || "" } },
    })
  }

  leave() {
    this.live?.close()
    this.live = null
  }
}

const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) entry.isIntersecting ? seen.add(entry.target.tile) : seen.delete(entry.target.tile)
  connect()
})

// Those that are to be seen are watched, and no more than so many at once.
function connect() {
  const chosen = new Set([...seen].filter(tile => tile.item.status === "live").slice(0, AT_ONCE))
  for (const tile of tiles.values()) chosen.has(tile) ? tile.watch() : tile.leave()
}

async function look() {
  try {
    const answer = await fetch(`/live/batches/${batch}/state?token=${encodeURIComponent(token)}`)
    const told = await answer.json()
    if (!answer.ok) {
      $("counts").textContent = told.error.message
      if ([401, 403, 404].includes(answer.status)) return
    } else show(told)
  } catch {
    $("counts").textContent = "reconnecting"
  }
  setTimeout(look, POLL)
}

function show({ counts, percentage, items }) {
  $("counts").textContent = Object.entries(counts).filter(([, many]) => many).map(([name, many]) => `${many} ${name}`).join(" · ")
  $("progress").value = percentage
  for (const item of items) {
    if (!tiles.has(item.item_index)) tiles.set(item.item_index, new Tile(item))
    tiles.get(item.item_index).show(item)
  }
  connect()
}

$("batch").textContent = batch
document.title = `Batch ${batch}`
look()
