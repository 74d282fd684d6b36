/** Whether the edge can listen there: all other ports, that of NATS too, move with it and must be ports as well. */
export function isEdgePort(port: number): boolean {
  return Number.isInteger(port) && port >= 1_024 && port <= 60_000
}

export const WRONG_EDGE_PORT = 'it must be a port, 1024 to 60000'
