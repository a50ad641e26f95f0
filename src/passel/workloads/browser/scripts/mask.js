// Blurs what is sensitive, and writes a mask over text that fits a pattern, before it is painted: in shadow trees too.
({ selectors, sites, patterns }) => {
  const host = self.origin === "null" ? location.hostname : new URL(self.origin).hostname;
  const here = (pattern) => (pattern.startsWith("*.") ? `.${host}`.endsWith(pattern.slice(1)) : host === pattern);
  const chosen = [...selectors, ...sites.flatMap(([pattern, own]) => (here(pattern) ? own : []))];
  const rules = patterns.map(([regex, mask]) => [new RegExp(regex, "g"), mask]);
  const sheets = new WeakMap(); // by document: none may have that of another
  const sheetOf = (owner) => {
    if (!sheets.has(owner)) {
      const sheet = new CSSStyleSheet();
      for (const selector of chosen) sheet.insertRule(`${selector} { filter: blur(8px) !important }`);
      sheets.set(owner, sheet);
    }
    return sheets.get(owner);
  };
  const masked = (text) => rules.reduce((left, [regex, mask]) => left.replace(regex, () => mask), text);
  const watched = new WeakSet();

  const clean = (node) => {
    if (/^(script|style|template)$/i.test(node.parentNode?.nodeName ?? "")) return;
    const text = masked(node.data);
    if (text !== node.data) node.data = text;
  };
  const walk = (root) => {
    if (root.nodeType === Node.TEXT_NODE) return clean(root);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = root; node !== null; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) clean(node);
      else if (node.shadowRoot) watch(node.shadowRoot);
    }
  };
  const dress = (root) => {
    const sheet = sheetOf(root.ownerDocument ?? root);
    if (!root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  };
  const watch = (root) => {
    if (watched.has(root)) return;
    watched.add(root);
    dress(root);
    walk(root);
    const observer = new MutationObserver((changes) => {
      dress(root);
      for (const change of changes) {
        if (change.type === "characterData") clean(change.target);
        else change.addedNodes.forEach(walk);
      }
    });
    observer.observe(root, { subtree: true, childList: true, characterData: true });
  };
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (init) {
    const root = attach.call(this, init);
    watch(root);
    return root;
  };
  watch(document);
  // The first document of a window that was opened may be followed by another in the same global object, for which no script runs.
  for (const event of ["DOMContentLoaded", "load"]) addEventListener(event, () => watch(document), true);
}
