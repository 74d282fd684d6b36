import type { Browser, BrowserContextOptions, Page } from 'playwright-core'

export type ConsolePage = AsyncDisposable & {
  page: Page
  /** What the browser complained of. */
  errors: string[]
  /** Where it asked besides the edge. */
  foreign: string[]
}

/** The console of an edge, in a browser that knows nothing of others. */
export async function visitConsole(
  browser: Browser,
  edge: string,
  options: BrowserContextOptions = {},
): Promise<ConsolePage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  const errors: string[] = []
  const foreign: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text())
  })
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== edge) foreign.push(request.url())
  })
  await page.goto(edge)
  return { page, errors, foreign, [Symbol.asyncDispose]: () => context.close() }
}

/** The same at its usual: the catalogue is there, the counts are live, and every part is up. */
export async function openConsole(...visit: Parameters<typeof visitConsole>): Promise<ConsolePage> {
  const opened = await visitConsole(...visit)
  await opened.page.getByText('Live', { exact: true }).waitFor()
  await opened.page.getByText('All parts up').waitFor()
  await cardOf(opened.page, 'Terminator').waitFor()
  return opened
}

export function cardOf(page: Page, title: string) {
  return page.locator('.card').filter({ has: page.getByRole('heading', { name: title, exact: true }) })
}

/** The titles of all cards, in their order. */
export function titlesOn(page: Page): Promise<string[]> {
  return page.locator('.card h3').allTextContents()
}

/** The views that a card shows. */
export async function viewsOn(page: Page, title: string): Promise<number> {
  return Number((await cardOf(page, title).locator('.views b').textContent())?.replace(',', ''))
}

/** Presses the button of a card. */
export function press(page: Page, title: string): Promise<void> {
  return page.getByRole('button', { name: `Play ${title}`, exact: true }).click()
}

export function partOf(page: Page, name: string) {
  return page.locator(`[data-part="${name}"]`)
}
