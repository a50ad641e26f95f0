// What a model is told of a page, and what its hands need of it. Runs in a world of its own beside the page's scripts, once a document;
// elements are known by the numbers of the last look.
(() => {
  const PASSED = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'HEAD', 'META', 'LINK', 'SOURCE', 'TRACK', 'PARAM'])
  const ROLES = new Set(['button', 'link', 'checkbox', 'radio', 'switch', 'tab', 'menuitem', 'menuitemcheckbox', 'menuitemradio', 'option',
    'combobox', 'textbox', 'searchbox', 'slider', 'spinbutton', 'treeitem'])
  const SET = new Set(['date', 'time', 'datetime-local', 'month', 'week', 'color', 'range'])
  const LONGEST_NAME = 200, MOST_CHOICES = 30, MOST_TEXT = 2000000
  let known = []

  const squeezed = text => (text ?? '').replace(/\s+/g, ' ').trim()
  const cut = (text, most) => text.length > most ? text.slice(0, most) + '…' : text
  const quoted = text => JSON.stringify(cut(squeezed(text), LONGEST_NAME))

  function roleOf(element) {
    const tag = element.tagName, given = (element.getAttribute('role') ?? '').trim().split(/\s+/)[0].toLowerCase()
    if (ROLES.has(given)) return given
    if (tag === 'A' || tag === 'AREA') return element.hasAttribute('href') ? 'link' : null
    if (tag === 'BUTTON' || tag === 'SUMMARY') return 'button'
    if (tag === 'SELECT') return 'combobox'
    if (tag === 'TEXTAREA') return 'textbox'
    if (tag === 'INPUT') {
      const type = element.type
      if (type === 'hidden') return null
      if (type === 'checkbox' || type === 'radio' || type === 'file' || type === 'password' || SET.has(type)) return type
      return type === 'submit' || type === 'button' || type === 'reset' || type === 'image' ? 'button' : 'textbox'
    }
    if (element.isContentEditable && !element.parentElement?.isContentEditable) return 'textbox'
    if (element.hasAttribute('onclick') || (element.tabIndex >= 0 && element.hasAttribute('tabindex'))) return 'button'
    return null
  }

  // What is written on a label, without what the fields in it hold.
  function written(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data
    return ['SELECT', 'TEXTAREA', 'INPUT', 'BUTTON'].includes(node.tagName) ? '' : [...node.childNodes].map(written).join('')
  }

  function nameOf(element, role) {
    const labelled = (element.getAttribute('aria-labelledby') ?? '').split(/\s+/).filter(Boolean)
      .map(id => element.getRootNode().getElementById?.(id)?.innerText).filter(Boolean).join(' ')
    const labels = () => [...element.labels ?? []].map(written).join(' ')
    const inside = () => role === 'button' && element.tagName === 'INPUT' ? element.value || element.alt
      : ['INPUT', 'SELECT', 'TEXTAREA'].includes(element.tagName) || element.isContentEditable ? '' : element.innerText || element.querySelector('img[alt], svg[aria-label]')?.getAttribute('alt')
    for (const found of [labelled, element.getAttribute('aria-label'), labels(), inside(), element.title, element.placeholder, element.name]) {
      if (squeezed(found)) return squeezed(found)
    }
    return ''
  }

  function detailsOf(element, role) {
    const told = []
    if (element.tagName === 'SELECT') {
      const choices = [...element.options].map(option => quoted(option.label))
      told.push(`chosen ${[...element.selectedOptions].map(option => quoted(option.label)).join(', ') || 'nothing'}`)
      told.push(`of ${choices.slice(0, MOST_CHOICES).join(', ')}${choices.length > MOST_CHOICES ? ` and ${choices.length - MOST_CHOICES} more` : ''}`)
    } else if (role === 'password') {
      told.push(element.value ? 'filled' : 'empty')
    } else if (role === 'file') {
      told.push([...element.files].map(file => quoted(file.name)).join(', ') || 'no file')
    } else if (role === 'checkbox' || role === 'radio' || role === 'switch') {
      told.push(element.checked || element.getAttribute('aria-checked') === 'true' ? 'on' : 'off')
    } else if ('value' in element && role !== 'button' && typeof element.value === 'string') {
      told.push(element.value ? `holds ${quoted(element.value)}` : 'empty')
    } else if (element.isContentEditable) {
      told.push(`holds ${quoted(element.innerText)}`)
    }
    if (element.disabled || element.getAttribute('aria-disabled') === 'true') told.push('disabled')
    if (element.required || element.getAttribute('aria-required') === 'true') told.push('required')
    if (element.hasAttribute('aria-expanded')) told.push(element.getAttribute('aria-expanded') === 'true' ? 'open' : 'closed')
    return told.length ? ` (${told.join('; ')})` : ''
  }

  // Text from top to bottom between two heights of the window, with what can be acted on as `[number] role "name" (details)`.
  class Look {
    constructor(from, to, most) {
      Object.assign(this, {from, to, most, lines: [], line: '', length: 0, full: false})
    }

    end() {
      const line = squeezed(this.line)
      this.line = ''
      if (!line || this.lines.at(-1) === line) return
      if (this.length + line.length > this.most) { this.full = true; return }
      this.length += line.length + 1
      this.lines.push(line)
    }

    within(box, down) {
      return box.bottom + down >= this.from && box.top + down <= this.to
    }

    walk(node, down, pointed) {
      if (this.full) return
      if (node.nodeType === Node.TEXT_NODE) {
        if (squeezed(node.data)) this.line += node.data
        else if (node.data) this.line += ' '
        return
      }
      if (node.nodeType !== Node.ELEMENT_NODE || PASSED.has(node.tagName) || !node.checkVisibility()) return
      const style = node.ownerDocument.defaultView.getComputedStyle(node)
      const block = !style.display.startsWith('inline') && style.display !== 'contents'
      if (block) this.end()
      const pointer = style.cursor === 'pointer'
      let role = roleOf(node)
      if (role === null && pointer && !pointed && node.innerText?.trim() && !node.querySelector('a[href], button, input, select, textarea')) role = 'button'
      const box = node.getBoundingClientRect()
      const seen = this.within(box, down), shown = style.visibility === 'visible'
      let inner = true
      if (role !== null && seen && (shown || node.tagName === 'INPUT') && (box.width || node.tagName === 'INPUT')) {
        known.push(node)
        this.line += ` [${known.length}] ${role} ${quoted(nameOf(node, role))}${detailsOf(node, role)} `
        inner = node.querySelector('a[href], button, input, select, textarea, [role=button], [role=link]') !== null && !['SELECT', 'BUTTON'].includes(node.tagName)
      } else if (node.tagName === 'SELECT' || node.tagName === 'TEXTAREA') {
        inner = false
      } else if (node.tagName === 'IMG' && squeezed(node.alt) && seen) {
        this.line += ` (picture: ${cut(squeezed(node.alt), LONGEST_NAME)}) `
      } else if (node.tagName === 'IFRAME' || node.tagName === 'FRAME') {
        if (seen && box.width && box.height) this.frame(node, down + box.top + node.clientTop)
        inner = false
      }
      if (inner && (seen || node.children.length || node.shadowRoot)) {
        const heading = /^H[1-6]$/.test(node.tagName)
        if (heading && seen) this.line += '#'.repeat(Number(node.tagName[1])) + ' '
        const within = node.shadowRoot ?? node
        const children = node.tagName === 'SLOT' && node.assignedNodes().length ? node.assignedNodes() : within.childNodes
        for (const child of children) {
          if (child.nodeType !== Node.TEXT_NODE || (seen && shown)) this.walk(child, down, pointed || pointer)
        }
      }
      if (block || node.tagName === 'BR') this.end()
    }

    frame(node, down) {
      this.end()
      let document = null
      try { document = node.contentDocument } catch {}
      if (document?.body == null) {
        this.line = `(a frame of another site: ${cut(node.src, LONGEST_NAME)})`
      } else {
        this.walk(document.body, down, false)
      }
      this.end()
    }
  }

  // In the coordinates of the page's own window.
  function boxOf(element) {
    const box = element.getBoundingClientRect()
    let x = box.x, y = box.y
    for (let view = element.ownerDocument.defaultView; view?.frameElement; view = view.parent) {
      const frame = view.frameElement, outer = frame.getBoundingClientRect()
      x += outer.x + frame.clientLeft
      y += outer.y + frame.clientTop
    }
    return {x, y, width: box.width, height: box.height}
  }

  function of(number) {
    const element = known[number - 1]
    if (!element) throw new Error(`there is no element ${number}: numbers are those of the last look at the page`)
    if (!element.isConnected) throw new Error(`element ${number} is not there any more: the page has changed`)
    return element
  }

  const told = element => ['input', 'change'].forEach(type => element.dispatchEvent(new Event(type, {bubbles: true, composed: true})))
  const scrolls = element => element.scrollHeight > element.clientHeight + 1 && /auto|scroll|overlay/.test(getComputedStyle(element).overflowY)

  function scrollerAt(element) {
    for (let one = element; one; one = one.parentElement ?? one.getRootNode().host) {
      if (scrolls(one)) return one
    }
    return null
  }

  return globalThis.passel = {
    look(above, below, most) {
      known = []
      const height = document.documentElement.scrollHeight, look = new Look(-above * innerHeight, (1 + below) * innerHeight, most)
      if (document.body) look.walk(document.body, 0, false)
      look.end()
      return {
        text: look.lines.join('\n'), full: look.full, top: Math.round(scrollY), view: innerHeight, height,
        type: document.contentType, loading: document.readyState !== 'complete',
      }
    },

    read() {
      return (document.body?.innerText ?? '').slice(0, MOST_TEXT)
    },

    // Where it is to be clicked, once it is in view, and what lies over it there.
    place(number) {
      const element = of(number)
      element.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'})
      let box = boxOf(element), through = element
      if (!(box.width && box.height) && element.labels?.length) {
        through = element.labels[0]
        box = boxOf(through)
      }
      if (!(box.width && box.height)) throw new Error(`element ${number} cannot be seen`)
      const x = box.x + box.width / 2, y = box.y + box.height / 2
      const inner = through.getBoundingClientRect()
      const hit = through.getRootNode().elementFromPoint(inner.x + inner.width / 2, inner.y + inner.height / 2)
      const free = !hit || through.contains(hit) || hit.contains(through) || [...through.labels ?? []].some(label => label.contains(hit))
      return {x, y, over: free ? null : cut(`${hit.tagName.toLowerCase()} ${quoted(hit.innerText ?? '')}`, LONGEST_NAME)}
    },

    box(number) {
      const element = of(number)
      element.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'})
      const {x, y, width, height} = boxOf(element)
      return {x: Math.round(x), y: Math.round(y), width: Math.round(width), height: Math.round(height)}
    },

    // Makes a field ready to be typed into; true where its value was set at once, as no keys can.
    focus(number, clear, text) {
      const element = of(number)
      if (element.tagName === 'SELECT') throw new Error(`element ${number} is a list of choices: select`)
      if (['A', 'BUTTON', 'SUMMARY', 'AREA'].includes(element.tagName)) throw new Error(`element ${number} is nothing that can be typed into`)
      if (element.disabled || element.readOnly) throw new Error(`element ${number} cannot be changed: it is ${element.disabled ? 'disabled' : 'read-only'}`)
      element.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'})
      element.focus()
      if (element.tagName === 'INPUT' && SET.has(element.type)) {
        element.value = text
        if (text && !element.value) throw new Error(`element ${number} takes no such ${element.type}: ${text}`)
        told(element)
        return true
      }
      const field = element.tagName === 'INPUT' || element.tagName === 'TEXTAREA'
      if (!field && !element.isContentEditable) {
        if (element.getRootNode().activeElement !== element) throw new Error(`element ${number} is nothing that can be typed into`)
        return false
      }
      if (field && ['checkbox', 'radio', 'file', 'submit', 'button', 'reset', 'image'].includes(element.type)) throw new Error(`element ${number} is nothing that can be typed into`)
      if (clear) field ? element.select() : element.ownerDocument.getSelection().selectAllChildren(element)
      else if (field && element.setSelectionRange) try { element.setSelectionRange(element.value.length, element.value.length) } catch {}
      return false
    },

    choose(number, wanted) {
      const element = of(number)
      if (element.tagName !== 'SELECT') throw new Error(`element ${number} is no list of choices: click what it offers`)
      const plain = text => squeezed(text).toLowerCase()
      const options = [...element.options]
      const found = options.find(option => plain(option.label) === plain(wanted)) ?? options.find(option => option.value === wanted)
      if (!found || found.disabled) {
        const offers = options.filter(option => !option.disabled).slice(0, MOST_CHOICES).map(option => quoted(option.label))
        throw new Error(`element ${number} has no choice ${quoted(wanted)}; it has ${offers.join(', ')}`)
      }
      if (element.multiple) found.selected = true
      else element.value = found.value, found.selected = true
      told(element)
      return found.label
    },

    scroll(number, pages) {
      const start = number ? of(number) : document.elementFromPoint(innerWidth / 2, innerHeight / 2)
      const root = document.scrollingElement
      const whole = root && root.scrollHeight > root.clientHeight + 1
      const scroller = number ? scrollerAt(start) ?? root : whole ? root : scrollerAt(start) ?? root
      const before = scroller.scrollTop
      scroller.scrollBy({top: pages * scroller.clientHeight, behavior: 'instant'})
      return Math.round(scroller.scrollTop - before)
    },
  }
})()
