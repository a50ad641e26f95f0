// A job as users of Puppeteer do it: two clients on one session, a form, a new tab, a dialog, close, and a connection again.
import { pathToFileURL } from "node:url"

const [, , module, browserWSEndpoint, site] = process.argv
const { default: puppeteer } = await import(pathToFileURL(`${module}/lib/puppeteer/puppeteer-core.js`))
const first = await puppeteer.connect({ browserWSEndpoint, defaultViewport: null })
const second = await puppeteer.connect({ browserWSEndpoint, defaultViewport: null })
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
const tabs = (await second.pages()).length
await first.close()
await second.disconnect()
const third = await puppeteer.connect({ browserWSEndpoint, defaultViewport: null })
const titles = await Promise.all((await third.pages()).map(one => one.title()))
const again = titles.find(one => one.startsWith("/sent"))
await third.close()
console.log(JSON.stringify({ title, sent, answered, tabs, again }))
