import type { NatsLink } from '../nats/link.ts'
import type { Changes } from './changes.ts'

/**
 * Changes as core NATS messages without a body, subject `changes.<service>.<id>`. A dot in an id is written `%2E`,
 * because it would part the subject.
 */
export function createNatsChanges(nats: NatsLink): Changes {
  return {
    publish({ service, id }) {
      if (nats.state() === 'up') nats.connection().publish(`changes.${service}.${id.replaceAll('.', '%2E')}`)
    },
    subscribe(onChange, onGap) {
      let subscribed = false
      nats.onUp((connection) => {
        // The client subscribes again by itself when it reconnects, but what was published meanwhile is lost.
        if (subscribed) return onGap()
        subscribed = true
        connection.subscribe('changes.*.*', {
          callback: (error, { subject }) => {
            const [, service, id] = subject.split('.')
            if (!error && service && id) onChange({ service, id: id.replaceAll('%2E', '.') })
          },
        })
      })
    },
  }
}
