"""The dashboard in headless Chromium: make browser, make screenshots."""
