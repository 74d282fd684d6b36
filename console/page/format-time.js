// Times are local and use a 24-hour clock. All parts of the page use these formats.

/** For example, 21:05. */
export const hourAndMinute = new Intl.DateTimeFormat('en', { timeStyle: 'short', hourCycle: 'h23' })

/** For example, 21:05:09. */
export const timeOfDay = new Intl.DateTimeFormat('en', { timeStyle: 'medium', hourCycle: 'h23' })

/** For example, Nov 20, 2026, 21:05:09. */
export const dateAndTime = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' })
