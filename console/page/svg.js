const SVG = 'http://www.w3.org/2000/svg'

/**
 * Creates an SVG element with attributes. Strings become text nodes.
 * @template {keyof SVGElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | number>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {SVGElementTagNameMap[Name]}
 */
export function svg(name, attributes = {}, ...children) {
  const created = document.createElementNS(SVG, name)
  for (const [attribute, value] of Object.entries(attributes)) created.setAttribute(attribute, String(value))
  created.append(...children)
  return created
}
