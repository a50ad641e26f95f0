// A window without features is a tab. What a page says of its opener and its referrer stays.
() => {
  const open = window.open;
  window.open = function (url, name, features) {
    const kept = String(features ?? "").split(/[\s,]+/).filter((one) => /^no(opener|referrer)/i.test(one));
    return open.call(this, url ?? "", name ?? "_blank", kept.join(","));
  };
}
