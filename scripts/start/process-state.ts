import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { ProcessState } from '../../shared/contracts/controls.ts'

/** The state of a process, read from the operating system: from /proc on Linux, and from ps elsewhere. */
export async function readProcessState(pid: number): Promise<ProcessState> {
  const letter = process.platform === 'linux' ? await readProc(pid) : await readPs(pid)
  if (letter === undefined || letter === 'Z' || letter === 'X') return 'down'
  return letter === 'T' ? 'hung' : 'running'
}

/**
 * Reads the third field, which follows the last `)`. The second field, the name, may contain any character
 * (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html).
 */
async function readProc(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  return stat[stat.lastIndexOf(')') + 2]
}

async function readPs(pid: number): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'state=', '-p', String(pid)]).catch(() => ({ stdout: '' }))
  return stdout.trim()[0]
}
