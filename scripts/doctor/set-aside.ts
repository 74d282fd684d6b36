import { basename } from 'node:path'
import { type Finding, findingsAbout } from './finding.ts'

/** The names of files that a service sets aside, with the name of the finding, the cause and the fix. */
const SET_ASIDE = [
  [
    /^checkpoint-[a-z]+(-\w+)?\.bin\.(corrupt|unknown-version)-\d+$/,
    'checkpoint',
    ', because reporting could not read it: delete it, unless you want to run the release that wrote it, or to inspect it',
  ],
  [
    /\.sqlite\.corrupt-\d+$/,
    'outbox',
    ' because it is corrupt: if it had views, recover them with sqlite3 and .recover; then delete it',
  ],
] as const

/** Findings about files in DATA_DIR that a service set aside because it could not use them. */
export function diagnoseSetAside(files: string[]): Finding[] {
  return SET_ASIDE.flatMap(([pattern, name, remedy]) =>
    files
      .filter((file) => pattern.test(basename(file)))
      .map((file) => findingsAbout(name).warn(`${file} was set aside${remedy}`)),
  )
}
