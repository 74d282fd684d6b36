import { toInformation, USAGE_STATUS } from '../../shared/runtime/command-line.ts'
import { programs } from './programs.ts'

const usage = `Usage: docker run IMAGE PROGRAM [ARGUMENT…]

Programs: ${[...programs.keys()].join(', ')}

  PROGRAM --help lists the arguments and settings of a program.`

const [name = '', ...args] = process.argv.slice(2)
const entryPoint = programs.get(name)
const information = toInformation([name], () => usage)
if (entryPoint !== undefined) {
  // Runs the program in this process, so that signals reach it directly, and PID 1 has no children to reap.
  process.argv.splice(1, process.argv.length, entryPoint, ...args)
  await import(new URL(`../../${entryPoint}`, import.meta.url).href)
} else if (information !== undefined) {
  process.stdout.write(information)
} else {
  process.stderr.write(`${name === '' ? 'No program specified' : `Unknown program "${name}"`}.\n${usage}\n`)
  process.exitCode = USAGE_STATUS
}
