// What of a mask this browser cannot read; an empty text when it can read all.
({ selectors, sites, patterns }) => {
  for (const selector of [...selectors, ...sites.flatMap(([, own]) => own)]) {
    if (!CSS.supports(`selector(${selector})`)) return `${selector} is no selector`;
  }
  for (const [regex] of patterns) {
    try {
      if (new RegExp(regex, "g").test("")) return `${regex} fits the empty text`;
    } catch (error) {
      return `${regex} is no regular expression: ${error.message}`;
    }
  }
  return "";
}
