export type TourOptions = {
  edge: string
  token?: string | undefined
  /** The steps to run, in the order of the tour. */
  ids: readonly string[]
  outageSeconds: number
  patienceMs: number
  onNote: (text: string) => void
  /** Called when another tour is in the middle of a step. */
  onWait: (text: string) => void
}

export type StepResult = {
  outcome: 'passed' | 'failed' | 'skipped'
  sentence: string
  facts: [label: string, value: string][]
}

export type TourResult = StepResult & {
  id: string
  title: string
  /** `answered 200 = counted + waiting`, for all views of the tour so far. */
  identity: string
}

export declare const stepIds: readonly string[]
export declare function runTour(options: TourOptions): AsyncGenerator<TourResult>

/** The parts of a step and of the driver that tests use; runner.js has the complete types. */
export type TourStep = {
  id: string
  needs?: string[]
  kills?: string[]
  run(): Promise<unknown>
  check(facts: unknown): { ok: boolean; sentence: string; facts: [label: string, value: string][] }
  undo?(stage: unknown, passed: boolean): Promise<void>
}
export type TourDriver = {
  controls(): Promise<{ state: string; reason: string | null; can: string[]; processes: { name: string }[] }>
  status(): Promise<{ parts: Record<string, { state: string }> } | undefined>
  newUser(id: string): string
  prepare(): Promise<void>
  untilReady(): Promise<unknown>
}
export type TourText = {
  id: string
  title: string
  intro: string[]
  predict: { question: string; options: { text: string; isRight?: boolean; reason: string }[] }
}

export declare const steps: readonly TourText[]
export declare function runStep(step: TourStep, driver: TourDriver): Promise<StepResult>
