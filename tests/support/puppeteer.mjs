// A job as users of Puppeteer do it: two clients on one session, a form, a dialog, a file given and a file taken, a new tab, close, and a
// connection again after one that dropped.
import net from "node:net"
import { once } from "node:events"
import { pathToFileURL } from "node:url"

const [, , module, browserWSEndpoint, site] = process.argv
const { default: puppeteer } = await import(pathToFileURL(`${module}/lib/puppeteer/puppeteer-core.js`))
const first = await puppeteer.connect({ browserWSEndpoint, defaultViewport: null })

const behind = new URL(browserWSEndpoint)
const wire = new Set()
const relay = net.createServer(client => {
  const server = net.connect(behind.port, behind.hostname)
  for (const [from, to] of [[client, server], [server, client]]) {
    wire.add(from)
    from.pipe(to).on("error", () => {})
  }
}).listen(0, "127.0.0.1")
await once(relay, "listening")
const dropped = new URL(browserWSEndpoint)
dropped.port = relay.address().port
const second = await puppeteer.connect({ browserWSEndpoint: dropped.href, defaultViewport: null })
const [page] = await first.pages()
await page.goto(site)
const title = await page.title()
page.on("dialog", dialog => dialog.accept())
await page.click("#ask")
await page.waitForFunction("document.title === 'true'")
const answered = await page.title()
await page.type("[name=q]", "grün")
await Promise.all([page.waitForNavigation(), page.click("form button")])
const sent = await page.title()
await first.newPage()
while ((await second.pages()).length < 2) await new Promise(done => setTimeout(done, 20)) // it hears of it a moment later
const tabs = (await second.pages()).length
await page.bringToFront()
await page.goto(site)
await (await page.$("#file")).uploadFile("/uploads/note.txt")
await page.waitForFunction("document.title.startsWith('read ')")
const read = await page.title()
const cdp = await first.target().createCDPSession()
await cdp.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: "/tmp", eventsEnabled: true })
const downloaded = new Promise(done => cdp.on("Browser.downloadProgress", told => told.state === "completed" && done()))
await page.click("#take")
await downloaded
await first.close()
const lost = once(second, "disconnected")
for (const socket of wire) socket.destroy()
relay.close()
await lost
const third = await puppeteer.connect({ browserWSEndpoint, defaultViewport: null })
const titles = await Promise.all((await third.pages()).map(one => one.title()))
const again = titles.find(one => one.startsWith("read "))
await third.close()
console.log(JSON.stringify({ title, sent, answered, tabs, again, read }))
