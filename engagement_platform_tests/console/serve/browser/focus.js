// Returns what has the focus, and whether one sees that: its beginning, the outline's style and width, is it in sight.
const one = document.activeElement;
const style = getComputedStyle(one);
const box = one.getBoundingClientRect();
const sight = box.top >= 0 && box.bottom <= window.innerHeight && box.width > 0;
return [one.outerHTML.slice(0, 90), style.outlineStyle, parseFloat(style.outlineWidth), sight];
