/** Only the user of the process may read its data, which contains views. */
export const PRIVATE_FILE = 0o600
export const PRIVATE_DIRECTORY = 0o700

/** Makes everything private that this process and its children create, also where nothing sets a mode, as for sockets. */
export function createPrivateFiles(): void {
  process.umask(0o077)
}
