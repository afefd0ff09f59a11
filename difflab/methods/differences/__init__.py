"""The numerical way: one engine of stencils, and limits of what they give."""
