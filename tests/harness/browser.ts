import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'
import { unlessCiNeeds } from './ci-needs.ts'

const USUAL = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** The browser that tests use: CHROMIUM_BIN, or the one of the distribution. */
const program = process.env.CHROMIUM_BIN || (USUAL.find((file) => existsSync(file)) ?? '')

/** Whether there is a browser to test with. */
export const hasChromium = unlessCiNeeds('chromium', existsSync(program))

/** A browser without a window. Its sandbox needs rights that containers do not have. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: program, args: ['--no-sandbox'] })
}
