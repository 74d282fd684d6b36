import type { AppEnv } from '../shared/http/app-env.ts'

/** The user that a verified token names. */
export type Viewer = { id: string; plan?: string | undefined }

/** The context of play's handlers. `viewer` is set if identity is on. */
export type PlayEnv = AppEnv & { Variables: { viewer?: Viewer } }
