// What is wrong with the page as it stands: one line a fault.
() => {
  const faults = [];
  const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !e.closest('.sr, .skip, [inert]');
  const name = (e) => `${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''}.${e.className} "${e.textContent.trim().slice(0, 40)}"`;

  // ── width ──
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth}`);

  // ── names ──
  for (const e of document.querySelectorAll('button, input, textarea, select, summary, a[href], [role=button], dialog[open], [role=dialog]')) {
    const labelled = e.getAttribute('aria-labelledby')?.split(' ').every((id) => document.getElementById(id)?.textContent.trim());
    const label = [...(e.labels ?? [])].some((one) => one.textContent.trim());
    const own = e.matches('input, textarea, select') ? '' : e.textContent.trim();
    if (seen(e) && !(e.getAttribute('aria-label') || labelled || label || e.title || own)) faults.push(`without a name: ${e.outerHTML.slice(0, 100)}`);
  }

  // ── contrast ──
  const ink = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    ink.clearRect(0, 0, 1, 1);
    ink.fillStyle = color;
    ink.fillRect(0, 0, 1, 1);
    return [...ink.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((part, i) => (part * a + under[i] * (255 - a)) / 255);
  const ground = (e) => {
    const color = e ? rgba(getComputedStyle(e).backgroundColor) : [...rgba(getComputedStyle(document.documentElement).backgroundColor)];
    return color[3] === 255 || !e ? color.slice(0, 3) : over(color, ground(e.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const check = (e, color) => {
    const under = ground(e), [low, high] = [light(under), light(over(rgba(color), under))].sort((a, b) => a - b);
    const style = getComputedStyle(e), size = parseFloat(style.fontSize), ratio = (high + 0.05) / (low + 0.05);
    const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < wanted && !e.disabled) faults.push(`contrast ${ratio.toFixed(2)}: ${name(e)}`);
  };

  // ── text: contrast, cut off, one over another ──
  const layer = (e) => e.closest('dialog, [popover], .panel, .top, .dock, .toast') ?? document.body;
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement, style = getComputedStyle(e);
    if (!node.data.trim() || e.closest('script, style, noscript, option, svg') || !seen(e)) continue;
    check(e, style.color);
    const range = document.createRange();
    range.selectNodeContents(node);
    let clip = { left: -1e6, right: 1e6, top: -1e6, bottom: 1e6 };
    for (let up = e; up && up !== document.body; up = up.parentElement) {
      const { overflowX, overflowY, textOverflow, webkitLineClamp } = getComputedStyle(up), box = up.getBoundingClientRect();
      if (overflowX === 'visible' && overflowY === 'visible') continue;
      const says = textOverflow === 'ellipsis' || webkitLineClamp !== 'none', scrolls = /auto|scroll/.test(overflowX + overflowY);
      if (!says && !scrolls && (up.scrollWidth > up.clientWidth + 1 || up.scrollHeight > up.clientHeight + 1)) faults.push(`cut off: ${name(e)}`);
      clip = { left: Math.max(clip.left, box.left), right: Math.min(clip.right, box.right), top: Math.max(clip.top, box.top), bottom: Math.min(clip.bottom, box.bottom) };
    }
    for (const rect of range.getClientRects()) {
      const line = { e, layer: layer(e), left: Math.max(rect.left, clip.left), right: Math.min(rect.right, clip.right), top: Math.max(rect.top, clip.top), bottom: Math.min(rect.bottom, clip.bottom) };
      if (line.right - line.left > 1 && line.bottom - line.top > 1) lines.push(line);
      if (rect.left < -1 && clip.left < 0) faults.push(`left of the window: ${name(e)}`);
    }
  }
  for (const box of document.querySelectorAll('textarea, input:not([type=range]):not([type=file])')) {
    if (seen(box) && !box.value && box.placeholder) check(box, getComputedStyle(box, '::placeholder').color);
  }
  lines.forEach((a, i) => {
    for (const b of lines.slice(i + 1)) {
      if (a.e === b.e || a.layer !== b.layer) continue;
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left), down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 3 && down > 4) faults.push(`one over another: ${name(a.e)} and ${name(b.e)}`);
    }
  });

  // ── what must be in reach: the frame, or what lies over it ──
  const modal = [...document.querySelectorAll('dialog[open]')].at(-1);
  const panel = document.querySelector('.panel:not([hidden])');
  const reach = modal ? [modal] : panel && innerWidth < 752 ? [panel, document.querySelector('.top')] : [...document.querySelectorAll('.top, .dock, .panel, [popover]:popover-open')];
  for (const e of reach.flatMap((one) => [...one.querySelectorAll('button, input, textarea')])) {
    const box = e.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
    if (!seen(e) || !box.width || y < 0 || y > innerHeight) continue;
    const hit = document.elementFromPoint(x, y);
    const isUnderPopover = hit?.closest('[popover]') && !e.closest('[popover]');
    if (!isUnderPopover && hit !== e && !e.contains(hit) && !(hit && [...(e.labels ?? [])].some((label) => label.contains(hit)))) faults.push(`covered: ${name(e)} by ${hit ? name(hit) : 'nothing'}`);
  }
  return [...new Set(faults)];
}
