import { readFile } from 'node:fs/promises'

/**
 * The part of a Grafana dashboard that the tests read
 * (https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/).
 */
export type Dashboard = {
  panels: Panel[]
  templating: { list: { name: string; query: string | { query: string }; allValue?: string }[] }
}

export type Panel = {
  id: number
  type: string
  title: string
  description?: string
  gridPos: { x: number; y: number; w: number; h: number }
  fieldConfig?: { defaults: { unit?: string } }
  targets?: { expr: string; legendFormat: string }[]
}

export async function readDashboard(file: string): Promise<Dashboard> {
  return JSON.parse(await readFile(file, 'utf8'))
}

/** All panels except rows, which are headings. */
export function panelsOf({ panels }: Dashboard): Panel[] {
  return panels.filter(({ type }) => type !== 'row')
}

export type Query = { panel: string; expr: string; legendFormat: string }

export function queriesOf(dashboard: Dashboard): Query[] {
  return panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
    targets.map((target) => ({ panel: title, ...target })),
  )
}

/** Substitutes the variables in an expression as Grafana does. Variables without a value get their "All" value. */
export function substitute(dashboard: Dashboard, expr: string, variables: Record<string, string>): string {
  const all = dashboard.templating.list.map(({ name, allValue }) => [name, allValue ?? ''] as const)
  const values = new Map([...all, ...Object.entries(variables)])
  return expr.replaceAll(/\$(\w+)/g, (variable, name) => values.get(name) ?? variable)
}

/** The names of the metrics in an expression: its words, except functions, keywords and labels. */
export function metricsIn(expr: string): string[] {
  const words = expr
    .replaceAll(/{[^}]*}|\[[^\]]*\]|"[^"]*"/g, ' ')
    .replaceAll(/\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
    .matchAll(/(?<![\w$])[a-z]\w*(?!\w|\s*\()/g)
  const keywords = ['and', 'or', 'unless', 'bool', 'offset']
  return [...new Set([...words].map(([word]) => word))].filter((word) => !keywords.includes(word))
}

/** The variables that query Prometheus for their values, with `label_values(<selector>, <label>)`. */
export function variableQueriesOf(dashboard: Dashboard): { name: string; selector: string; label: string }[] {
  return dashboard.templating.list.flatMap(({ name, query }) => {
    const [, selector, label] =
      (typeof query === 'string' ? '' : query.query).match(/^label_values\((.*), (\w+)\)$/) ?? []
    return selector && label ? [{ name, selector, label }] : []
  })
}
