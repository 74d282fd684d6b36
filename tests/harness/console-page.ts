import type { Browser, BrowserContextOptions, Page } from 'playwright-core'

export type ConsolePage = AsyncDisposable & {
  page: Page
  /** Errors and warnings in the browser's console, and uncaught exceptions. */
  errors: string[]
  /** URLs of requests to origins other than the edge. */
  thirdPartyRequests: string[]
}

/** Opens the console in its own browser context. */
export async function visitConsole(
  browser: Browser,
  edge: string,
  options: BrowserContextOptions = {},
): Promise<ConsolePage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  const errors: string[] = []
  const thirdPartyRequests: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text())
  })
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== edge) thirdPartyRequests.push(request.url())
  })
  await page.goto(edge)
  return { page, errors, thirdPartyRequests, [Symbol.asyncDispose]: () => context.close() }
}

/** Opens the console and waits until the catalogue is loaded, the counts are live and all services are up. */
export async function openConsole(...visit: Parameters<typeof visitConsole>): Promise<ConsolePage> {
  const opened = await visitConsole(...visit)
  await opened.page.getByText('Live', { exact: true }).waitFor()
  await opened.page.getByText('All services up').waitFor()
  await cardOf(opened.page, 'Terminator').waitFor()
  return opened
}

export function cardOf(page: Page, title: string) {
  return page.locator('.card').filter({ has: page.getByRole('heading', { name: title, exact: true }) })
}

/** The titles of all cards, in the order shown. */
export function cardTitles(page: Page): Promise<string[]> {
  return page.locator('.card h3').allTextContents()
}

/** The view count on a card, as soon as the card shows it. */
export async function cardViews(page: Page, title: string): Promise<number> {
  const views = cardOf(page, title).locator('.views b').filter({ hasText: /\d/ })
  return toNumber((await views.textContent()) ?? '')
}

/** The total number of views of all assets. */
export async function totalViews(page: Page): Promise<number> {
  return toNumber((await page.locator('#total-views').textContent()) ?? '')
}

/** Parses a number with thousands separators. */
export function toNumber(text: string): number {
  return Number(text.replaceAll(',', ''))
}

/** Clicks a card's play button. */
export function clickPlay(page: Page, title: string): Promise<void> {
  return page.getByRole('button', { name: `Play ${title}`, exact: true }).click()
}

/** A service or data store in the diagram. */
export function componentOf(page: Page, name: string) {
  return page.locator(`[data-component="${name}"]`)
}
