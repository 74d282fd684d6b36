import type { Browser, BrowserContextOptions } from 'playwright-core'
import { startBrowser } from './browser.ts'
import { type ConsolePage, openConsole } from './console-page.ts'
import { warmUp } from './plays.ts'
import { withResources } from './resources.ts'
import { type System, startSystem } from './system.ts'

export type ConsoleSystem = System & {
  browser: Browser
  /** Opens the console as soon as all services are up. */
  open(options?: BrowserContextOptions): Promise<ConsolePage>
}

/** Starts a browser and a system, and waits until the system serves plays. */
export async function startConsoleSystem(settings: Record<string, string> = {}): Promise<ConsoleSystem> {
  await using stack = new AsyncDisposableStack()
  const system = stack.use(await startSystem(settings))
  const browser = stack.use(await startBrowser())
  await warmUp(system.play.url)
  const open = (options?: BrowserContextOptions) => openConsole(browser, system.play.url, options)
  return withResources({ ...system, browser, open }, stack)
}
