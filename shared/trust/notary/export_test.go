package notary

// CheckForm lets the tests of the outside look at one step.
var CheckForm = checkForm
