# SPDX-License-Identifier: Apache-2.0
"""The project's own rules, each a function that yields its findings."""
