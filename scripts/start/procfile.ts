export type Command = { name: string; command: string }

/** Parses the lines `name: command` in a Procfile, in order. */
export function parseProcfile(text: string): Command[] {
  return [...text.matchAll(/^([\w-]+):\s*(.+)$/gm)].map(([, name = '', command = '']) => ({ name, command }))
}

/** Adds an offset to each port in a command, as in `--port N` and `nats://127.0.0.1:N`. */
export function movePorts({ name, command }: Command, offset: number): Command {
  const moved = command.replace(
    /(port |nats:\/\/127\.0\.0\.1:)(\d+)/g,
    (_, prefix, port) => prefix + (Number(port) + offset),
  )
  return { name, command: moved }
}

/**
 * Repeats a service's command for several processes that share a port, named `play-1`, `play-2` and so on. If the
 * service has an operations port, each process has its own.
 */
export function sharePort(commands: Command[], service: string, processes: number, opsPort?: number): Command[] {
  return commands.flatMap((each) => {
    if (each.name !== service || processes === 1) return [each]
    return Array.from({ length: processes }, (_, index) => {
      const own = opsPort ? `REUSE_PORT=1 OPS_PORT=${opsPort + index}` : 'REUSE_PORT=1'
      return { name: `${service}-${index + 1}`, command: each.command.replace('exec env ', `exec env ${own} `) }
    })
  })
}

/** The ports on which a command listens. */
export function portsOf({ command }: Command): number[] {
  return [...command.matchAll(/(?:port |--cluster nats:\/\/127\.0\.0\.1:)(\d+)/g)].map(([, port]) => Number(port))
}

/** The Node options in a command, such as `--max-old-space-size=320`. */
export function nodeFlagsOf({ command }: Command): string[] {
  return /\/node ((?:--\S+ )*)/.exec(command)?.[1]?.split(' ').filter(Boolean) ?? []
}
