import { expect, test } from 'vitest'
import { createFastCounter, createLabelCounter } from './fast-counter.ts'
import { createMetrics } from './metrics.ts'

test('each labelled counter starts at 0 and counts separately', async () => {
  const metrics = createMetrics()
  const counter = createFastCounter(metrics, { name: 'reads_total', help: 'Reads', labelNames: ['result'] })
  const [hit, miss] = [counter({ result: 'hit' }), counter({ result: 'miss' })]
  const read = async () => (await metrics.getSingleMetricAsString('reads_total')).split('\n').slice(2)
  expect(await read()).toEqual(['reads_total{result="hit"} 0', 'reads_total{result="miss"} 0'])
  hit()
  hit(4)
  miss()
  for (let scrape = 0; scrape < 2; scrape += 1) {
    expect(await read()).toEqual(['reads_total{result="hit"} 5', 'reads_total{result="miss"} 1'])
  }
})

test('a counter with known label values exposes each of them from the start', async () => {
  const metrics = createMetrics()
  const count = createLabelCounter(metrics, {
    name: 'reads_total',
    help: 'Reads',
    label: 'result',
    values: ['hit', 'miss'],
  })
  count('hit')
  count('hit', 4)
  const [, , ...samples] = (await metrics.getSingleMetricAsString('reads_total')).split('\n')
  expect(samples).toEqual(['reads_total{result="hit"} 5', 'reads_total{result="miss"} 0'])
})

test('metrics whose names promtool rejects are omitted', async () => {
  const names = (await createMetrics().getMetricsAsJSON()).filter(({ type }) => String(type) === 'gauge')
  expect(names.filter(({ name }) => name.endsWith('_total'))).toEqual([])
})
