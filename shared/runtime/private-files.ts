/** Data files contain views, so only the user that runs the process may read them. */
export const PRIVATE_FILE = 0o600
export const PRIVATE_DIRECTORY = 0o700

/** Makes all files of this process and its children private, even those created without a mode, such as sockets. */
export function createPrivateFiles(): void {
  process.umask(0o077)
}
