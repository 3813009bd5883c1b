package confine

var LandlockLacks = landlockLacks
