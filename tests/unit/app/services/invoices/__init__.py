"""Unit tests of app/services/invoices/."""
