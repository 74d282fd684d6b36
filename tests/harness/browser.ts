import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'
import { failIfCiNeeds } from './ci-needs.ts'

const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** The browser under test: CHROMIUM_BIN, or an installed Chromium. */
const program = process.env.CHROMIUM_BIN || (CANDIDATES.find((file) => existsSync(file)) ?? '')

/** True if a browser is installed. */
export const hasChromium = failIfCiNeeds('chromium', existsSync(program))

/** Starts a headless browser without a sandbox, because containers lack the privileges for one. */
export function startBrowser(args: string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: program, args: ['--no-sandbox', ...args] })
}
