import { Hono } from 'hono'
import { Audit } from '../shared/contracts/audit.ts'
import { LostViews } from '../shared/contracts/lost-views.ts'
import { Position, toNullablePosition } from '../shared/contracts/position.ts'
import type { AppEnv } from '../shared/http/app-env.ts'
import { describeOperation } from '../shared/http/openapi.ts'
import type { CountStore } from './count-store.ts'
import type { Currentness } from './currentness.ts'

type Deps = {
  counts: Pick<CountStore, 'audit' | 'position' | 'lost'>
  currentness: Pick<Currentness, 'end'>
}

/** The routes for comparing the counts with the log. */
export function createAuditRoutes({ counts, currentness }: Deps) {
  return new Hono<AppEnv>()
    .get(
      '/events/audit',
      describeOperation({
        operationId: 'audit',
        summary: 'Account for every view',
        description:
          'All numbers come from one snapshot, in which `views = qualified + pending + the sum of notQualified + direct`',
        responses: { 200: Audit },
        problems: [503],
      }),
      async (c) => {
        const audit = await counts.audit()
        const end = currentness.end()
        const isSameLog = end !== undefined && (!audit.position || end.incarnation === audit.position.stream)
        const waiting = isSameLog ? Math.max(0, end.sequence - (audit.position?.sequence ?? 0)) : null
        return c.json({ ...audit, waiting })
      },
    )
    .get(
      '/events/position',
      describeOperation({
        operationId: 'getPosition',
        summary: 'Get the log position that the counts reflect',
        description: 'null before the first batch',
        responses: { 200: Position.nullable() },
        problems: [503],
      }),
      async (c) => c.json(toNullablePosition(await counts.position())),
    )
    .get(
      '/events/lost',
      describeOperation({
        operationId: 'getLostViews',
        summary: 'List the views that the log acknowledged but lost',
        description: "Lost views appear as gaps in their producers' serials; see docs/events.md",
        responses: { 200: LostViews },
        problems: [503],
      }),
      async (c) => c.json(await counts.lost()),
    )
}
