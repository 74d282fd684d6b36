declare const verifier: {
  verify(target: string, keys: Readonly<Record<string, string>>, now: number): 200 | 403 | 410
  maxAge(target: string, now: number): number
  describe(target: string): { keyId: string; path: string }
}
export default verifier
