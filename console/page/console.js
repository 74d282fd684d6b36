import { createAssets } from './assets.js'
import { createAuditStrip } from './audit.js'
import { createCatalogue } from './catalogue.js'
import { createClock } from './clock.js'
import { createCounts } from './counts.js'
import { byId, formatCount, setText, whileVisible } from './dom.js'
import { createFlow } from './flow.js'
import { describeConnection, subscribeToCounts } from './live.js'
import { createPlayer } from './player.js'
import { pollStatus, showOverall } from './status.js'
import { createTimeline } from './timeline.js'
import { createToken } from './token.js'
import { createTopList } from './top-list.js'
import { createExamples } from './try-it.js'
import { createUser } from './user.js'
import { createWhy } from './why.js'

/** The displayed rate is the average over this many seconds. */
const RATE_SECONDS = 5

const SNAPSHOT_TIMEOUT_MS = 300

const counts = createCounts()
const clock = createClock()
const timeline = createTimeline({ clock })
const assets = createAssets({ onChange: render })
const flow = createFlow({ onCatalogueChange: () => void assets.load() })
const user = createUser()
const token = createToken({ onUser: user.set })
const player = createPlayer({ user, token, onPlayed: flow.showDegraded })
const catalogue = createCatalogue({ assets, onPlay: player.play, onShow: timeline.showAsset })
const showTopAssets = createTopList(byId('top-assets', HTMLElement), assets.titleOf)
const showTopUsers = createTopList(byId('top-users', HTMLElement))
const showAudit = createAuditStrip()
const why = createWhy({ titleOf: assets.titleOf, token })
createExamples({ assetIds: () => assets.all().map(({ id }) => id), token, why })

/** @type {import('../../shared/contracts/counting.ts').Counting | undefined} */
let counting

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
  const perSecond = counts.perSecond(clock.now())
  const rate = perSecond.slice(-RATE_SECONDS).reduce((sum, n) => sum + n, 0) / RATE_SECONDS
  timeline.showLive(perSecond)
  flow.animate(rate > 0)
  setText(byId('rate', HTMLElement), rate.toLocaleString('en', { maximumFractionDigits: rate < 10 ? 1 : 0 }))
}

// Load the catalogue after the first snapshot, so that its counts are not older; without a snapshot, after the timeout.
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
