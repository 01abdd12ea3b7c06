"""The rig: service, fake providers, proxies and load, started or attached, and stopped in reverse."""
