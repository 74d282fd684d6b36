import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

/**
 * For `--import`: SIGUSR2 starts a CPU profile of the main thread, and the next SIGUSR2 writes it to the file PROFILE.
 * Prints a line after each signal.
 */
const session = new Session()
session.connect()
await session.post('Profiler.enable')

process.once('SIGUSR2', async () => {
  await session.post('Profiler.start')
  process.once('SIGUSR2', async () => {
    const { profile } = await session.post('Profiler.stop')
    writeFileSync(process.env.PROFILE ?? '', JSON.stringify(profile))
    process.stdout.write('profile: written\n')
  })
  process.stdout.write('profile: started\n')
})
