/** Moves the resources of `stack` to `value`: disposing `value` disposes them. */
export function withResources<Value extends object>(
  value: Value,
  stack: AsyncDisposableStack,
): Value & AsyncDisposable {
  const resources = stack.move()
  return { ...value, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
