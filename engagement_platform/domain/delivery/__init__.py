"""How events are delivered to somebody who may be slow, down or wrong: rules only, with every time passed in."""
