import { expect, test } from 'vitest'
import { startChild } from './child.ts'
import { eventually } from './eventually.ts'

const SCRIPT = `
import { startChild } from './tests/harness/child.ts'
console.log(startChild('sleep', ['600']).pid)`

test.each(['SIGTERM', 'exit'])('a child does not outlive its test process: %s', async (end) => {
  const script = end === 'exit' ? `${SCRIPT}\nprocess.exit()` : SCRIPT
  await using parent = startChild(process.execPath, ['--input-type=module', '--eval', script])
  const pid = await parent.line(Number)
  if (end === 'SIGTERM') await parent.signal('SIGTERM')
  await parent.ended
  await eventually(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'))
})
