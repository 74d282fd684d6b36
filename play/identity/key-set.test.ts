import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { parseKeySet } from './key-set.ts'

describe('a JWK Set', () => {
  const keys: Record<string, { publicJwk: JWK; privateJwk: JWK }> = {}
  beforeAll(async () => {
    for (const alg of ['ES256', 'RS256', 'EdDSA', 'ES384']) {
      const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
      keys[alg] = { publicJwk: await exportJWK(publicKey), privateJwk: await exportJWK(privateKey) }
    }
  })
  const publicJwk = (alg: string) => ({ ...keys[alg]?.publicJwk, kid: alg })
  const parse = (...jwks: unknown[]) => parseKeySet(JSON.stringify({ keys: jwks }))
  const find = async (jwks: unknown[], alg: string) =>
    (await parse(...jwks))({ alg, kid: alg }, { payload: '', signature: '' })

  test.each(['ES256', 'RS256', 'EdDSA'])('provides its key for %s', async (alg) => {
    const found = await find([publicJwk('ES256'), publicJwk('RS256'), publicJwk('EdDSA')], alg)
    expect(found).toHaveProperty('type', 'public')
  })

  test('may contain keys for other purposes and algorithms, which are ignored', async () => {
    const others = [
      { kty: 'unknown' },
      publicJwk('ES384'),
      { ...publicJwk('ES256'), use: 'enc' },
      { ...publicJwk('ES256'), alg: 'ES384' },
      { ...publicJwk('RS256'), n: 'AQAB' },
      { ...publicJwk('ES256'), x: 'AAAA' },
    ]
    expect(await find([...others, publicJwk('ES256')], 'ES256')).toHaveProperty('type', 'public')
    for (const other of others) await expect(parse(other)).rejects.toThrow('no usable key')
  })

  test('that reveals a private or symmetric key is refused as a whole', async () => {
    const secrets = [{ kty: 'oct', k: 'c2VjcmV0' }, { kty: 'oct' }, keys.ES256?.privateJwk, keys.RS256?.privateJwk]
    for (const secret of secrets)
      await expect(parse(publicJwk('EdDSA'), secret)).rejects.toThrow('private or symmetric')
  })

  test.each([
    ['', 'not JSON'],
    ['<html>', 'not JSON'],
    ['null', 'not a JWK Set'],
    ['[]', 'not a JWK Set'],
    ['{"keys":{}}', 'not a JWK Set'],
    ['{"keys":[]}', 'not a JWK Set'],
    ['{"keys":[1]}', 'not a JWK Set'],
    [JSON.stringify({ keys: Array.from({ length: 101 }, () => ({ kty: 'EC' })) }), 'not a JWK Set'],
  ])('cannot be parsed from %s', async (text, reason) => {
    await expect(parseKeySet(text)).rejects.toThrow(reason)
  })
})
