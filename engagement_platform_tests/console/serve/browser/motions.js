// Counts the motions that begin from now on, in window.moved.
window.moved = 0;
const animate = Element.prototype.animate;
Element.prototype.animate = function (...given) {
  window.moved += 1;
  return animate.apply(this, given);
};
