export type Command = { name: string; command: string }

/** The lines `name: command` of a Procfile, in their order. */
export function parseProcfile(text: string): Command[] {
  return [...text.matchAll(/^([\w-]+):\s*(.+)$/gm)].map(([, name, command]) => ({
    name: name as string,
    command: command as string,
  }))
}

/** The same command with its ports, such as `--port N`, moved. */
export function movePorts({ name, command }: Command, by: number): Command {
  return { name, command: command.replace(/port (\d+)/g, (_, port) => `port ${Number(port) + by}`) }
}

/** What a command gives to Node itself, such as `--max-old-space-size=320`. */
export function nodeFlagsOf({ command }: Command): string[] {
  return /\/node ((?:--\S+ )*)/.exec(command)?.[1]?.split(' ').filter(Boolean) ?? []
}

export function portsOf({ command }: Command): number[] {
  return [...command.matchAll(/port (\d+)/g)].map(([, port]) => Number(port))
}
