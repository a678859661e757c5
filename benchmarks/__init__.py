"""What docs/performance.md quotes; each script prints its figures and says on what machine it ran."""
