import { z } from 'zod'

/** `hung`: the process is suspended by SIGSTOP. `down`: the process has exited. */
const ProcessState = z.enum(['running', 'hung', 'down'])
export type ProcessState = z.infer<typeof ProcessState>

/** A process that `npm start` runs, as the operating system sees it. */
export const ControlledProcess = z.object({
  name: z.string(),
  state: ProcessState,
  pid: z.int().nullable().meta({ description: 'Null while the process is down' }),
  starts: z.int().meta({ description: 'How many times the process has been started' }),
  lastExit: z.string().nullable().meta({ description: 'The signal or the exit status of its last exit' }),
  until: z.string().nullable().meta({ description: 'When the injected fault ends on its own; null if there is none' }),
  actions: z.array(z.string()),
})
export type ControlledProcess = z.infer<typeof ControlledProcess>

/** A command that the controls can run: `npm run seed` or `npm run simulate`. */
export const ControlledCommand = z.object({
  command: z.string(),
  state: z.enum(['idle', 'running', 'done', 'failed']),
  line: z.string().meta({ description: 'The last line of its output' }),
})
export type ControlledCommand = z.infer<typeof ControlledCommand>

/**
 * `GET /controls`. `locked`: the request has no valid token. `can` lists the actions that `POST /controls/…` accepts;
 * `reason` says why the controls are not `on`.
 */
export const Controls = z
  .object({
    state: z.enum(['on', 'locked', 'off']),
    reason: z.string().nullable(),
    can: z.array(z.string()),
    processes: z.array(ControlledProcess),
    commands: z.record(z.string(), ControlledCommand),
  })
  .meta({
    id: 'Controls',
    examples: [
      {
        state: 'on',
        reason: null,
        can: ['kill', 'hang', 'continue', 'restart', 'seed'],
        processes: [
          {
            name: 'reporting',
            state: 'running',
            pid: 4711,
            starts: 1,
            lastExit: null,
            until: null,
            actions: ['kill', 'hang', 'restart'],
          },
        ],
        commands: { seed: { command: 'npm run seed', state: 'idle', line: '' } },
      },
    ],
  })
export type Controls = z.infer<typeof Controls>

/** The response while the controls are locked or off. */
export function withoutControls(state: 'locked' | 'off', reason: string): Controls {
  return { state, reason, can: [], processes: [], commands: {} }
}
