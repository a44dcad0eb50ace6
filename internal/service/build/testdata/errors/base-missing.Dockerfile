FROM localhost:1/no/such:1
