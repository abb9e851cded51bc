"""What `acceptance` is made of: its materials, its plan, its steps, who runs them, and the report with its page."""
