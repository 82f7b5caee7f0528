do_x() {
  it's "open"
