"""`ambientd blend-report`: what is heard between two models."""
