// Local times on a 24-hour clock, so that all parts of the page show a moment in the same way.

/** Such as 21:05. */
export const hourAndMinute = new Intl.DateTimeFormat('en', { timeStyle: 'short', hourCycle: 'h23' })

/** Such as 21:05:09. */
export const timeOfDay = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' })

/** Such as Nov 20, 2026, 21:05:09. */
export const dateAndTime = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' })
