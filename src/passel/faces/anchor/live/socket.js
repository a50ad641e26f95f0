// One connection to a session's live view. It comes back by itself until the session is over or the link is no longer good.

const PAUSES = [200, 500, 1000, 2000, 5000]

const REASONS = {
  api: "somebody ended it",
  idle_timeout: "nobody had used it for a while",
  max_duration: "it was as old as it may be",
  batch_cancelled: "its batch was cancelled",
  crash: "its browser broke",
  shutdown: "its worker was stopped",
}

export class LiveSocket {
  constructor(path, query, { on = {}, frame, state }) {
    Object.assign(this, { path, query, on, frame, state, tries: 0, closed: false })
    this.connect()
  }

  get url() {
    return `${this.path}?${new URLSearchParams(this.query)}`
  }

  connect() {
    this.state("connecting")
    const address = new URL(this.url, location.href)
    address.protocol = address.protocol.replace("http", "ws")
    const socket = this.socket = new WebSocket(address)
    socket.binaryType = "arraybuffer"
    socket.onopen = () => { this.tries = 0; this.state("live") }
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        const told = JSON.parse(data)
        if (told.type === "ended") this.end(`The session has ended: ${REASONS[told.reason] ?? told.reason}.`)
        else this.on[told.type]?.(told)
        return
      }
      const head = new DataView(data)
      this.frame(new Blob([new Uint8Array(data, 4)], { type: "image/jpeg" }), head.getUint16(0), head.getUint16(2))
    }
    socket.onclose = () => this.closed || this.lost()
  }

  async lost() {
    this.state("off")
    const refused = await this.why()
    if (refused) return this.end(refused)
    setTimeout(() => this.closed || this.connect(), PAUSES[Math.min(this.tries++, PAUSES.length - 1)])
  }

  // A browser does not say why a socket was refused; the same address without an upgrade does.
  async why() {
    try {
      const answer = await fetch(this.url)
      return [401, 403, 404, 410].includes(answer.status) ? (await answer.json()).error.message : null
    } catch {
      return null
    }
  }

  send(type, data = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...data }))
  }

  end(reason) {
    this.closed = true
    this.socket.close()
    this.state("over", reason)
  }

  close() {
    this.closed = true
    this.socket.close()
  }
}

// Draws pictures in their order, and leaves out those that came while one was drawn.
export function painter(canvas) {
  const pen = canvas.getContext("2d", { alpha: false })
  let waiting = null, busy = false
  return async function paint(blob, width, height) {
    waiting = { blob, width, height }
    if (busy) return
    busy = true
    while (waiting) {
      const now = waiting
      waiting = null
      const picture = await createImageBitmap(now.blob)
      if (canvas.width !== now.width || canvas.height !== now.height) Object.assign(canvas, { width: now.width, height: now.height })
      pen.drawImage(picture, 0, 0, canvas.width, canvas.height)
      picture.close()
    }
    busy = false
  }
}
