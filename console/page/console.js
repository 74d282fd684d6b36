import { createAssets } from './catalogue/assets.js'
import { createCatalogue } from './catalogue/catalogue.js'
import { createClock } from './clock.js'
import { createControlsToken } from './controls/controls-token.js'
import { createAuditStrip } from './counts/audit.js'
import { createCounts } from './counts/counts.js'
import { describeConnection, subscribeToCounts } from './counts/live.js'
import { createTimeline } from './counts/timeline.js'
import { createTopList } from './counts/top-list.js'
import { byId, formatCount, setText, whileVisible } from './dom.js'
import { createFlow } from './flow/flow.js'
import { createHistory } from './history/history.js'
import { createPlayer } from './playback/player.js'
import { createPlays } from './plays/plays.js'
import { retryImport } from './retry-import.js'
import { pollStatus, showOverall } from './status.js'
import { createToken } from './token.js'
import { createUser } from './user.js'
import { createExamples } from './why/try-it.js'
import { createWhy } from './why/why.js'

const SNAPSHOT_TIMEOUT_MS = 300

const counts = createCounts()
const clock = createClock()
const timeline = createTimeline({ clock })
const assets = createAssets({ onChange: render })
const flow = createFlow({ onCatalogueChange: () => void assets.load() })
const user = createUser()
const token = createToken({ onUser: user.set })
const plays = createPlays({ titleOf: assets.titleOf, token, clock })
const player = createPlayer({ user, token, plays, onPlayed: flow.showDegraded })
const catalogue = createCatalogue({ assets, onPlay: player.play, onShow: timeline.showAsset })
const showTopAssets = createTopList(byId('top-assets', HTMLElement), assets.titleOf)
const showTopUsers = createTopList(byId('top-users', HTMLElement))
const showAudit = createAuditStrip()
createHistory()
const why = createWhy({ titleOf: assets.titleOf, token })
const controlsToken = createControlsToken()
// Load the controls lazily, because the first render does not need them.
void loadControls()
createExamples({ assetIds: () => assets.all().map(({ id }) => id), token, plays, why })

/** @type {import('../../shared/contracts/counting.ts').Counting | undefined} */
let counting

async function loadControls() {
  const body = byId('controls-body', HTMLElement)
  const { createControls } = await retryImport(
    () => import('./controls/controls.js'),
    () => setText(body, 'The controls did not load. Retrying…'),
  )
  setText(body, '')
  createControls(controlsToken)
}

function render() {
  catalogue.render()
  showCounts()
}

function showCounts() {
  const { assets, users } = counts.top()
  showTopAssets(assets)
  showTopUsers(users)
  setText(byId('total-views', HTMLElement), formatCount(counts.views()))
  const qualified = counts.qualified()
  byId('qualified', HTMLElement).hidden = qualified === undefined
  setText(byId('qualified-views', HTMLElement), formatCount(qualified ?? null))
}

function showRate() {
  const rate = counts.rate(clock.now())
  setText(byId('rate', HTMLElement), rate.toLocaleString('en', { maximumFractionDigits: rate < 10 ? 1 : 0 }))
}

// Load the catalogue after the first snapshot, so that its counts are not older than the snapshot. If no snapshot
// arrives, load it after the timeout.
const snapshotTimeout = setTimeout(assets.load, SNAPSHOT_TIMEOUT_MS)
whileVisible(() =>
  pollStatus({
    onResponse: clock.sync,
    onStatus(status) {
      counting = status?.parts.reporting?.counting
      flow.show(status)
      token.show(status)
      showOverall(status)
      showAudit(status)
    },
  }),
)
whileVisible(() => {
  const timer = setInterval(showRate, 1_000)
  return () => clearInterval(timer)
})
whileVisible(() =>
  subscribeToCounts({
    getSnapshot: counts.snapshot,
    onSnapshot(snapshot) {
      clearTimeout(snapshotTimeout)
      counts.applySnapshot(snapshot)
      showCounts()
      showRate()
      void assets.resetCounts()
    },
    onChanges(changes) {
      counts.applyChanges(changes)
      catalogue.showCounts(assets.updateCounts(changes))
      showCounts()
    },
    onConnection(connection) {
      setText(byId('connection', HTMLElement), describeConnection(connection, counting))
    },
  }),
)
