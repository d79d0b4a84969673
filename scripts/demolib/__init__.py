# SPDX-License-Identifier: Apache-2.0
"""What `make demo` is made of; the tests start the same processes by it."""
